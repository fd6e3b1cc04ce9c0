# Sourced by the scripts of the styles. A script that was interrupted goes on where it was when it is run again.

# prepare FOLDER COMMAND [ARGUMENT ...]: where FOLDER is not there, the command makes it, given a name to fill as its
# last argument: the folder is there whole or not at all.
prepare() {
    local folder="$1"
    shift
    if [ ! -d "$folder" ]; then
        rm -rf "$folder.part"
        "$@" "$folder.part"
        mv "$folder.part" "$folder"
    fi
}

# train RECIPE RUN [OPTION ...]: trains, or goes on from the run's checkpoint; a finished run is only looked at again.
train() {
    local recipe="$1" run="$2"
    shift 2
    if [ -e "$run/checkpoint.safetensors" ]; then set -- "$@" --resume; fi
    frameshift-train "$recipe" --run "$run" "$@"
}
