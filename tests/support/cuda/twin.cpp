// The kernels of rt/cuda/fit.cu compiled for the CPU: the same text, run thread by thread.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <tuple>

#define __global__
#define __device__
#define API extern "C" __attribute__((visibility("default")))

using std::max;
using std::min;

namespace {

struct Three {
    unsigned x, y, z;
};
thread_local Three blockIdx, blockDim, threadIdx;

}  // namespace

#include "fit.cu"

namespace {

// Take the next argument out of a launch's buffer, aligned as CUDA aligns it.
template <class Argument>
Argument take(const char *given, size_t &at) {
    at = (at + alignof(Argument) - 1) / alignof(Argument) * alignof(Argument);
    Argument argument;
    memcpy(&argument, given + at, sizeof argument);
    at += sizeof argument;
    return argument;
}

template <class... Arguments>
void run(void (*kernel)(Arguments...), const unsigned grid[3], const unsigned block[3], const char *given) {
    size_t at = 0;
    std::tuple<Arguments...> arguments{take<Arguments>(given, at)...};  // braces: from left to right
    blockDim = {block[0], block[1], block[2]};
    for (unsigned by = 0; by < grid[1]; by++)
        for (unsigned bx = 0; bx < grid[0]; bx++)
            for (unsigned ty = 0; ty < block[1]; ty++)
                for (unsigned tx = 0; tx < block[0]; tx++) {
                    blockIdx = {bx, by, 0}, threadIdx = {tx, ty, 0};
                    std::apply(kernel, arguments);
                }
}

}  // namespace

// Run a kernel by name; 0 where there is none of this name.
API int twin_run(const char *name, const unsigned grid[3], const unsigned block[3], const char *arguments) {
    if (!strcmp(name, "shrink")) return run(shrink, grid, block, arguments), 1;
    if (!strcmp(name, "apply_residual")) return run(apply_residual, grid, block, arguments), 1;
    if (!strcmp(name, "shrink_planes")) return run(shrink_planes, grid, block, arguments), 1;
    if (!strcmp(name, "apply_planes")) return run(apply_planes, grid, block, arguments), 1;
    return 0;
}
