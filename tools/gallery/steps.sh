# Sourced by the scripts of the styles. Run again, a script that was interrupted continues where it stopped. Whoever
# deletes a run or a folder deletes what was made from it, too.

# need WORDS ARGUMENT ...: ends the script where there are not as many arguments as words that name them.
need() {
    local words="$1"
    shift
    if [ $# -ne "$(wc -w <<< "$words")" ]; then
        echo "error: needed arguments: $words" >&2
        exit 2
    fi
}

# refuse_existing OUT: ends the script before it begins hours of work whose result has no place.
refuse_existing() {
    if [ -e "$1" ]; then
        echo "error: $1 exists: move it away, or give another OUT" >&2
        exit 1
    fi
}

# prepare FOLDER COMMAND [ARGUMENT ...]: where FOLDER is not there, the command makes it, given a name to fill as its
# last argument: the folder is there whole or not at all.
prepare() {
    local prepared="$1"
    shift
    if [ ! -d "$prepared" ]; then
        rm -rf "$prepared.part"
        "$@" "$prepared.part"
        mv "$prepared.part" "$prepared"
    fi
}

# train RECIPE RUN [OPTION ...]: trains, or goes on from the run's checkpoint; a finished run is only looked at again.
train() {
    local recipe="$1" run="$2"
    shift 2
    if [ -e "$run/checkpoint.safetensors" ]; then set -- "$@" --resume; fi
    videobrush-train "$recipe" --run "$run" "$@"
}
