// Fit a frame to the network and the network's residual back to the frame: what rt/fit.py does on the CPU.
//
// An image is uint8[rows][columns][3], without gaps. One thread writes one pixel; threads share nothing and
// never wait for each other, so that the tests can compile this very text for the CPU and run it there.

typedef unsigned char Level;
typedef unsigned long long Sum;

struct Pixel {
    int x, y;
};

static __device__ Pixel my_pixel() {
    return {(int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(blockIdx.y * blockDim.y + threadIdx.y)};
}

// How much of [begin, end) piece number `piece` covers, where every piece is `length` long.
static __device__ unsigned covered(int piece, int length, int begin, int end) {
    return min(end, (piece + 1) * length) - max(begin, piece * length);
}

// The nearest whole number, the even one of two, as OpenCV rounds.
static __device__ Level divide(Sum sum, Sum by) {
    Sum whole = sum / by, twice_rest = 2 * (sum - whole * by);
    return (Level)(whole + (twice_rest > by || (twice_rest == by && whole % 2)));
}

// Each pixel of `small` becomes the average of the area of the frame that it covers; exact, in whole numbers.
// Measured in parts of which a row of the frame has `small_rows`, a row of `small` covers `rows`; columns alike.
extern "C" __global__ void shrink(const Level *frame, int rows, int columns,
                                  Level *small, int small_rows, int small_columns) {
    Pixel me = my_pixel();
    if (me.x >= small_columns || me.y >= small_rows) return;
    int left = me.x * columns, right = left + columns, top = me.y * rows, bottom = top + rows;
    Sum sums[3] = {0, 0, 0};
    for (int row = top / small_rows; row * small_rows < bottom; row++) {
        const Level *line = frame + (size_t)row * columns * 3;
        unsigned across[3] = {0, 0, 0};
        for (int column = left / small_columns; column * small_columns < right; column++) {
            unsigned wide = covered(column, small_columns, left, right);
            for (int c = 0; c < 3; c++) across[c] += wide * line[column * 3 + c];
        }
        unsigned tall = covered(row, small_rows, top, bottom);
        for (int c = 0; c < 3; c++) sums[c] += (Sum)tall * across[c];
    }
    Level *out = small + ((size_t)me.y * small_columns + me.x) * 3;
    for (int c = 0; c < 3; c++) out[c] = divide(sums[c], (Sum)rows * columns);
}

// The two rows or columns of `small` between which the middle of one of the frame lies, and how near the second.
struct Between {
    int first, second;
    float share;
};

static __device__ Between between(int at, int length, int small_length) {
    float middle = (at + 0.5f) * small_length / length - 0.5f;
    int first = (int)floorf(middle);
    if (first < 0) return {0, 0, 0.0f};
    return {first, min(first + 1, small_length - 1), middle - first};
}

static __device__ float mix(float first, float second, float share) {
    return first * (1.0f - share) + second * share;
}

// `result` becomes the frame with the residual `small_out - small_in`, times `*strength`, enlarged and added.
extern "C" __global__ void apply_residual(const Level *frame, int rows, int columns, const float *strength,
                                    const Level *small_in, const Level *small_out, int small_rows,
                                    int small_columns, Level *result) {
    Pixel me = my_pixel();
    if (me.x >= columns || me.y >= rows) return;
    Between down = between(me.y, rows, small_rows), along = between(me.x, columns, small_columns);
    int corners[2][2] = {
        {(down.first * small_columns + along.first) * 3, (down.first * small_columns + along.second) * 3},
        {(down.second * small_columns + along.first) * 3, (down.second * small_columns + along.second) * 3},
    };
    size_t here = ((size_t)me.y * columns + me.x) * 3;
    for (int c = 0; c < 3; c++) {
        float residual[2];
        for (int row = 0; row < 2; row++) {
            int a = corners[row][0] + c, b = corners[row][1] + c;
            residual[row] = mix(rintf(*strength * (small_out[a] - small_in[a])),
                              rintf(*strength * (small_out[b] - small_in[b])), along.share);
        }
        int level = frame[here + c] + (int)rintf(mix(residual[0], residual[1], down.share));
        result[here + c] = (Level)min(255, max(0, level));
    }
}
