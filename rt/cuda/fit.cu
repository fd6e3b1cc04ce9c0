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

// ---- The same on planes as files store them: yuv420p and, with `interleaved`, NV12, of limited range.
//
// A frame is its brightness, uint8[rows][columns], then its colour at half of that, rounded up: blue and red
// differences one after the other, or in pairs. `numbers` are the strength and the shares of red and blue in
// the brightness, which say the matrix.

struct Plane {
    size_t begin;
    int rows, columns, pitch, step;
};

static __device__ Plane plane_of(int which, int rows, int columns, int interleaved) {
    if (which == 0) return {0, rows, columns, columns, 1};
    int half_rows = (rows + 1) / 2, half_columns = (columns + 1) / 2;
    size_t begin = (size_t)rows * columns;
    if (interleaved) return {begin + which - 1, half_rows, half_columns, 2 * half_columns, 2};
    return {begin + (size_t)(which - 1) * half_rows * half_columns, half_rows, half_columns, half_columns, 1};
}

// The average of the area of a plane that pixel `me` of `small` covers, as in `shrink`.
static __device__ float average(const Level *frame, Plane plane, Pixel me, int small_rows, int small_columns) {
    int left = me.x * plane.columns, right = left + plane.columns;
    int top = me.y * plane.rows, bottom = top + plane.rows;
    Sum sum = 0;
    for (int row = top / small_rows; row * small_rows < bottom; row++) {
        const Level *line = frame + plane.begin + (size_t)row * plane.pitch;
        unsigned across = 0;
        for (int column = left / small_columns; column * small_columns < right; column++)
            across += covered(column, small_columns, left, right) * line[column * plane.step];
        sum += (Sum)covered(row, small_rows, top, bottom) * across;
    }
    return (float)sum / (float)((Sum)plane.rows * plane.columns);
}

static __device__ Level to_level(float value) { return (Level)min(255, max(0, (int)rintf(value))); }

extern "C" __global__ void shrink_planes(const Level *frame, int rows, int columns, int interleaved,
                                         const float *numbers, Level *small, int small_rows,
                                         int small_columns) {
    Pixel me = my_pixel();
    if (me.x >= small_columns || me.y >= small_rows) return;
    float levels[3];
    for (int p = 0; p < 3; p++)
        levels[p] = average(frame, plane_of(p, rows, columns, interleaved), me, small_rows, small_columns);
    float red = numbers[1], blue = numbers[2];
    float bright = (levels[0] - 16.0f) * (255.0f / 219.0f);
    float b = bright + 2.0f * (1.0f - blue) * (levels[1] - 128.0f) * (255.0f / 224.0f);
    float r = bright + 2.0f * (1.0f - red) * (levels[2] - 128.0f) * (255.0f / 224.0f);
    Level *out = small + ((size_t)me.y * small_columns + me.x) * 3;
    out[0] = to_level(r);
    out[1] = to_level((bright - red * r - blue * b) / (1.0f - red - blue));
    out[2] = to_level(b);
}

// The residual of one pixel of `small`, times the strength, as it is in one plane: a whole number.
static __device__ float residual(const Level *small_in, const Level *small_out, int at, const float *numbers,
                                 int which) {
    float red = numbers[1], blue = numbers[2], change[3];
    for (int c = 0; c < 3; c++) change[c] = numbers[0] * (small_out[at + c] - small_in[at + c]);
    float bright = red * change[0] + (1.0f - red - blue) * change[1] + blue * change[2];
    if (which == 0) return rintf(bright * (219.0f / 255.0f));
    float share = which == 1 ? blue : red, own = which == 1 ? change[2] : change[0];
    return rintf((own - bright) / (2.0f * (1.0f - share)) * (224.0f / 255.0f));
}

// `laid` becomes the frame with the residual enlarged and added to each plane; sums saturate at 0 and 255.
extern "C" __global__ void apply_planes(const Level *frame, int rows, int columns, int interleaved,
                                        const float *numbers, const Level *small_in, const Level *small_out,
                                        int small_rows, int small_columns, Level *laid) {
    Pixel me = my_pixel();
    for (int p = 0; p < 3; p++) {
        Plane plane = plane_of(p, rows, columns, interleaved);
        if (me.x >= plane.columns || me.y >= plane.rows) continue;
        Between down = between(me.y, plane.rows, small_rows), along = between(me.x, plane.columns, small_columns);
        float ends[2];
        for (int end = 0; end < 2; end++) {
            int line = (end ? down.second : down.first) * small_columns;
            ends[end] = mix(residual(small_in, small_out, (line + along.first) * 3, numbers, p),
                            residual(small_in, small_out, (line + along.second) * 3, numbers, p), along.share);
        }
        size_t here = plane.begin + (size_t)me.y * plane.pitch + (size_t)me.x * plane.step;
        int level = frame[here] + (int)rintf(mix(ends[0], ends[1], down.share));
        laid[here] = (Level)min(255, max(0, level));
    }
}
