#include "winograd.h"

#include <stdatomic.h>
#include <string.h>

#include "products.h"

enum {
  ENTRIES = 16, /* of a transformed tile, 4x4 */
  /* Arrays of one entry each would else begin a power of two apart, in the same set of a cache. */
  GAP = 48,
};

/* ---- Tiles ---- */

/* The row and column of a tile's first output. */
typedef struct {
  int64_t image, row, column;
} Tile;

static int64_t num_tiles(const Shape *outputs) {
  return outputs->batch * ((outputs->height + 1) / 2) * ((outputs->width + 1) / 2);
}

static Tile tile_at(const Shape *outputs, int64_t index) {
  int64_t rows = (outputs->height + 1) / 2, columns = (outputs->width + 1) / 2;
  return (Tile){index / columns / rows, index / columns % rows * 2, index % columns * 2};
}

static Tile tile_after(const Shape *outputs, Tile tile) {
  tile.column += 2;
  if (tile.column < outputs->width) return tile;
  tile.column = 0;
  tile.row += 2;
  if (tile.row < outputs->height) return tile;
  return (Tile){tile.image + 1, 0, 0};
}

/* How many tiles to have in the cache at once. */
static int64_t tiles_at_once(int64_t numbers_of_tile, int64_t most) {
  /* A quarter of a megabyte, but enough to read a large kernel seldom. */
  int64_t count = at_least(64 * 1024 / numbers_of_tile, 48) / ROWS * ROWS;
  return at_most(count, rounded_up(most, ROWS));
}

/* Where the channels of a pixel begin; `outside` stands for those outside of the image. */
static inline const float *pixel(const float *image, const Shape *shape, int64_t b, int64_t y,
                                 int64_t x, const float *outside) {
  bool inside = y >= 0 && y < shape->height && x >= 0 && x < shape->width;
  return inside ? image + ((b * shape->height + y) * shape->width + x) * shape->channels : outside;
}

/* Transforms of tiles, for all channels of the pixels that the pointers point to. Entries of a
   transformed tile lie `step` apart. What is inlined knows the count of channels, LANES but at the
   end of a pixel. */

static inline __attribute__((always_inline)) void transform_inputs_of(const float *const d[4][4],
                                                                      int64_t c, int64_t count,
                                                                      float *to, int64_t step) {
  Vector half[4][4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    Vector d0 = get_some(d[0][j] + c, count), d1 = get_some(d[1][j] + c, count);
    Vector d2 = get_some(d[2][j] + c, count), d3 = get_some(d[3][j] + c, count);
    half[0][j] = d0 - d2;
    half[1][j] = d1 + d2;
    half[2][j] = d2 - d1;
    half[3][j] = d1 - d3;
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    put(to + (4 * i + 0) * step, half[i][0] - half[i][2]);
    put(to + (4 * i + 1) * step, half[i][1] + half[i][2]);
    put(to + (4 * i + 2) * step, half[i][2] - half[i][1]);
    put(to + (4 * i + 3) * step, half[i][1] - half[i][3]);
  }
}

/* `B^T d B` of so many tiles from `first` on; each has `length` numbers of each entry. */
static void transform_inputs(const Convolution *convolution, const float *inputs,
                             const float *zeros, int64_t first, int64_t count, float *to,
                             int64_t length, int64_t step) {
  const Shape *shape = &convolution->inputs;
  Tile tile = tile_at(&convolution->outputs, first);
  for (int64_t t = 0; t < count; t++, to += length) {
    const float *d[4][4];
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 4; j++)
        d[i][j] = pixel(inputs, shape, tile.image, tile.row + i - convolution->top,
                        tile.column + j - convolution->left, zeros);
    int64_t c = 0;
    for (; c + LANES <= shape->channels; c += LANES)
      transform_inputs_of(d, c, LANES, to + c, step);
    if (c < shape->channels) transform_inputs_of(d, c, shape->channels - c, to + c, step);
    tile = tile_after(&convolution->outputs, tile);
  }
}

static inline __attribute__((always_inline)) void transform_products_of(const float *m,
                                                                        int64_t step,
                                                                        float *to[2][2], int64_t c,
                                                                        int64_t count) {
  Vector half[2][4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    Vector m1 = get(m + (4 + j) * step), m2 = get(m + (8 + j) * step);
    half[0][j] = get(m + j * step) + m1 + m2;
    half[1][j] = m1 - m2 - get(m + (12 + j) * step);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++) {
    Vector left = half[i][0] + half[i][1] + half[i][2];
    Vector right = half[i][1] - half[i][2] - half[i][3];
    if (to[i][0] != NULL) put_some(to[i][0] + c, left, count);
    if (to[i][1] != NULL) put_some(to[i][1] + c, right, count);
  }
}

/* The outputs `A^T m A` of so many tiles from `first` on, from the first of so many rows of panels
   that hold the products. */
static void transform_products(const float *products, int64_t rows, int64_t step,
                               const Convolution *convolution, int64_t first, int64_t count,
                               float *outputs) {
  const Shape *shape = &convolution->outputs;
  Tile tile = tile_at(shape, first);
  for (int64_t t = 0; t < count; t++) {
    float *to[2][2];
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < 2; j++)
        to[i][j] = (float *)pixel(outputs, shape, tile.image, tile.row + i, tile.column + j, NULL);
    int64_t c = 0;
    for (; c + LANES <= shape->channels; c += LANES)
      transform_products_of(products + in_panels(t, c, rows), step, to, c, LANES);
    if (c < shape->channels)
      transform_products_of(products + in_panels(t, c, rows), step, to, c, shape->channels - c);
    tile = tile_after(shape, tile);
  }
}

static inline __attribute__((always_inline)) void transform_cotangent_of(
    const float *const g[2][2], int64_t c, int64_t count, float *to, int64_t step) {
  Vector half[4][2];
#pragma GCC unroll 2
  for (int j = 0; j < 2; j++) {
    Vector g0 = get_some(g[0][j] + c, count), g1 = get_some(g[1][j] + c, count);
    half[0][j] = g0;
    half[1][j] = g0 + g1;
    half[2][j] = g0 - g1;
    half[3][j] = -g1;
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    put(to + (4 * i + 0) * step, half[i][0]);
    put(to + (4 * i + 1) * step, half[i][0] + half[i][1]);
    put(to + (4 * i + 2) * step, half[i][0] - half[i][1]);
    put(to + (4 * i + 3) * step, -half[i][1]);
  }
}

/* `A g A^T` of the gradient by the outputs of so many tiles from `first` on, into so many rows of
   panels, from row `row` on. */
static void transform_cotangent(const Convolution *convolution, const float *cotangent,
                                const float *zeros, int64_t first, int64_t count, float *to,
                                int64_t row, int64_t rows, int64_t step) {
  const Shape *shape = &convolution->outputs;
  Tile tile = tile_at(shape, first);
  for (int64_t t = row; t < row + count; t++) {
    const float *g[2][2];
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < 2; j++)
        g[i][j] = pixel(cotangent, shape, tile.image, tile.row + i, tile.column + j, zeros);
    int64_t c = 0;
    for (; c + LANES <= shape->channels; c += LANES)
      transform_cotangent_of(g, c, LANES, to + in_panels(t, c, rows), step);
    if (c < shape->channels)
      transform_cotangent_of(g, c, shape->channels - c, to + in_panels(t, c, rows), step);
    tile = tile_after(shape, tile);
  }
}

/* `G g G^T` of the kernel's row `channel`, into that row of panels. */
static void transform_kernel(const float *kernel, const Convolution *convolution, int64_t channel,
                             float *to, int64_t step) {
  int64_t channels = convolution->inputs.channels, features = convolution->outputs.channels;
  for (int64_t d = 0; d < features; d += LANES) {
    const float *g = kernel + channel * features + d;
    float *entry = to + in_panels(channel, d, channels);
    Vector half[4][3];
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++) {
      Vector g0 = get_some(g + j * channels * features, features - d);
      Vector g1 = get_some(g + (3 + j) * channels * features, features - d);
      Vector g2 = get_some(g + (6 + j) * channels * features, features - d);
      half[0][j] = g0;
      half[1][j] = 0.5f * (g0 + g2 + g1);
      half[2][j] = 0.5f * (g0 + g2 - g1);
      half[3][j] = g2;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      put(entry + (4 * i + 0) * step, half[i][0]);
      put(entry + (4 * i + 1) * step, 0.5f * (half[i][0] + half[i][2] + half[i][1]));
      put(entry + (4 * i + 2) * step, 0.5f * (half[i][0] + half[i][2] - half[i][1]));
      put(entry + (4 * i + 3) * step, half[i][2]);
    }
  }
}

/* `G^T m G`, the gradient by the kernel's row `channel`, from that row of panels. */
static void transform_sums(const float *sums, int64_t step, int64_t rows,
                           const Convolution *convolution, int64_t channel, float *kernel) {
  int64_t channels = convolution->inputs.channels, features = convolution->outputs.channels;
  for (int64_t d = 0; d < features; d += LANES) {
    const float *m = sums + in_panels(channel, d, rows);
    Vector half[3][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      Vector m1 = get(m + (4 + j) * step), m2 = get(m + (8 + j) * step);
      half[0][j] = get(m + j * step) + 0.5f * (m1 + m2);
      half[1][j] = 0.5f * (m1 - m2);
      half[2][j] = 0.5f * (m1 + m2) + get(m + (12 + j) * step);
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
      float *to = kernel + (3 * i * channels + channel) * features + d;
      Vector sum = 0.5f * (half[i][1] + half[i][2]);
      put_some(to, half[i][0] + sum, features - d);
      put_some(to + channels * features, 0.5f * (half[i][1] - half[i][2]), features - d);
      put_some(to + 2 * channels * features, sum + half[i][3], features - d);
    }
  }
}

/* ---- The convolution: some tiles are a task ---- */

typedef struct {
  const Convolution *convolution;
  const float *inputs, *kernel;
  float *weights, *outputs;
  int64_t weights_step, at_once;
  atomic_bool lacks_memory;
} Convolving;

static void transform_weights(void *context, int64_t channel) {
  Convolving *of = context;
  transform_kernel(of->kernel, of->convolution, channel, of->weights, of->weights_step);
}

static void convolve_tiles(void *context, int64_t task) {
  Convolving *of = context;
  int64_t channels = of->convolution->inputs.channels;
  int64_t features = of->convolution->outputs.channels;
  int64_t length = rounded_up(channels, LANES);
  int64_t first = task * of->at_once;
  int64_t count = at_most(of->at_once, num_tiles(&of->convolution->outputs) - first);
  int64_t tiles_step = of->at_once * length + GAP;
  int64_t products_step = of->at_once * rounded_up(features, PANEL) + GAP;
  float *tiles = take(&of_a_task, ENTRIES * (tiles_step + products_step) + length);
  if (tiles == NULL) {
    atomic_store(&of->lacks_memory, true);
    return;
  }
  float *products = tiles + ENTRIES * tiles_step, *zeros = products + ENTRIES * products_step;
  memset(zeros, 0, length * sizeof(float));
  transform_inputs(of->convolution, of->inputs, zeros, first, count, tiles, length, tiles_step);
  for (int e = 0; e < ENTRIES; e++)
    for (int64_t d = 0; d < features; d += PANEL)
      multiply_panel(false, rounded_up(count, ROWS), features - d, channels,
                     tiles + e * tiles_step, length, 1,
                     of->weights + e * of->weights_step + in_panels(0, d, channels),
                     products + e * products_step + in_panels(0, d, of->at_once));
  transform_products(products, of->at_once, products_step, of->convolution, first, count,
                     of->outputs);
}

bool winograd_convolve(const Convolution *convolution, const float *inputs, const float *kernel,
                       float *outputs) {
  int64_t channels = convolution->inputs.channels;
  int64_t features = rounded_up(convolution->outputs.channels, PANEL);
  int64_t tiles = num_tiles(&convolution->outputs);
  if (tiles == 0) return true;
  int64_t weights_step = channels * features + GAP;
  float *weights = take(&of_a_call, ENTRIES * weights_step);
  if (weights == NULL) return false;
  Convolving of = {
      .convolution = convolution,
      .inputs = inputs,
      .kernel = kernel,
      .weights = weights,
      .outputs = outputs,
      .weights_step = weights_step,
      .at_once = tiles_at_once(ENTRIES * (rounded_up(channels, LANES) + features), tiles),
  };
  parallel_for(&convolution->threads, channels, transform_weights, &of);
  parallel_for(&convolution->threads, (tiles + of.at_once - 1) / of.at_once, convolve_tiles, &of);
  return !of.lacks_memory;
}

/* ---- The gradient by the kernel: all threads sum over the same tiles, each other entries ---- */

/* Blocks for each thread, so that they seldom wait for each other. */
enum { TILES_OF_TASK = 16, BLOCKS_AT_ONCE = 2 };

typedef struct {
  const Convolution *convolution;
  const float *inputs, *cotangent;
  float *tiles, *cotangents, *sums, *zeros, *kernel;
  int64_t tiles_step, cotangents_step, sums_step;
  int64_t at_once, first, count; /* tiles: how many there is room for, and which are summed now */
} Summing;

static void transform_tiles(void *context, int64_t task) {
  Summing *of = context;
  int64_t length = rounded_up(of->convolution->inputs.channels, LANES);
  int64_t row = task * TILES_OF_TASK, count = at_most(TILES_OF_TASK, of->count - row);
  transform_inputs(of->convolution, of->inputs, of->zeros, of->first + row, count,
                   of->tiles + row * length, length, of->tiles_step);
  transform_cotangent(of->convolution, of->cotangent, of->zeros, of->first + row, count,
                      of->cotangents, row, of->at_once, of->cotangents_step);
}

static void add_products(void *context, int64_t task) {
  Summing *of = context;
  int64_t length = rounded_up(of->convolution->inputs.channels, LANES);
  int64_t rows = rounded_up(of->convolution->inputs.channels, ROWS);
  int64_t features = of->convolution->outputs.channels;
  int64_t e = task % ENTRIES, d = task / ENTRIES * PANEL;
  multiply_panel(of->first > 0, rows, features - d, of->count, of->tiles + e * of->tiles_step, 1,
                 length, of->cotangents + e * of->cotangents_step + in_panels(0, d, of->at_once),
                 of->sums + e * of->sums_step + in_panels(0, d, rows));
}

static void transform_gradient(void *context, int64_t channel) {
  Summing *of = context;
  transform_sums(of->sums, of->sums_step, rounded_up(of->convolution->inputs.channels, ROWS),
                 of->convolution, channel, of->kernel);
}

bool winograd_kernel_gradient(const Convolution *convolution, const float *inputs,
                              const float *cotangent, float *kernel) {
  const Threads *threads = &convolution->threads;
  int64_t channels = convolution->inputs.channels, length = rounded_up(channels, LANES);
  int64_t features = rounded_up(convolution->outputs.channels, PANEL);
  int64_t tiles = num_tiles(&convolution->outputs);
  if (tiles == 0) {
    memset(kernel, 0, 9 * channels * convolution->outputs.channels * sizeof(float));
    return true;
  }
  int64_t at_once = tiles_at_once(ENTRIES * (length + features), tiles);
  if (threads->count > 1)
    at_once = at_most(BLOCKS_AT_ONCE * threads->count * at_once, rounded_up(tiles, ROWS));
  Summing of = {
      .convolution = convolution,
      .inputs = inputs,
      .cotangent = cotangent,
      .kernel = kernel,
      .tiles_step = at_once * length + GAP,
      .cotangents_step = at_once * features + GAP,
      .sums_step = rounded_up(channels, ROWS) * features + GAP,
      .at_once = at_once,
  };
  int64_t longest = at_least(length, features);
  of.sums =
      take(&of_a_call, ENTRIES * (of.sums_step + of.tiles_step + of.cotangents_step) + longest);
  if (of.sums == NULL) return false;
  of.tiles = of.sums + ENTRIES * of.sums_step;
  of.cotangents = of.tiles + ENTRIES * of.tiles_step;
  of.zeros = of.cotangents + ENTRIES * of.cotangents_step;
  memset(of.zeros, 0, longest * sizeof(float));
  for (of.first = 0; of.first < tiles; of.first += at_once) {
    of.count = at_most(at_once, tiles - of.first);
    parallel_for(threads, (of.count + TILES_OF_TASK - 1) / TILES_OF_TASK, transform_tiles, &of);
    parallel_for(threads, ENTRIES * features / PANEL, add_products, &of);
  }
  parallel_for(threads, channels, transform_gradient, &of);
  return true;
}
