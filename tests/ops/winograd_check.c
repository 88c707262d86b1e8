/* Random convolutions against their definition, for a compiler that checks memory and arithmetic. */

#include "winograd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIALS = 200, ENTRIES_OF_TRIAL = 40 };

/* Last task first: nobody promised an order. */
void parallel_for(const Threads *threads, int64_t count, void (*task)(void *, int64_t),
                  void *context) {
  (void)threads;
  for (int64_t i = count - 1; i >= 0; i--) task(context, i);
}

static int64_t draw(int64_t least, int64_t most) { return least + rand() % (most - least + 1); }

/* Exactly as long as needed, so that the compiler's checks see what lies beyond. */
static float *draw_numbers(int64_t count) {
  float *numbers = malloc(count * sizeof(float));
  for (int64_t i = 0; i < count; i++) numbers[i] = rand() / (float)RAND_MAX - 0.5f;
  return numbers;
}

static int64_t size_of(Shape s) { return s.batch * s.height * s.width * s.channels; }

static double at(const float *image, Shape s, int64_t b, int64_t y, int64_t x, int64_t c) {
  if (y < 0 || y >= s.height || x < 0 || x >= s.width) return 0;
  return image[((b * s.height + y) * s.width + x) * s.channels + c];
}

static double output(const Convolution *of, const float *inputs, const float *kernel, int64_t b,
                     int64_t p, int64_t q, int64_t d) {
  double sum = 0;
  for (int64_t i = 0; i < 3; i++)
    for (int64_t j = 0; j < 3; j++)
      for (int64_t c = 0; c < of->inputs.channels; c++)
        sum += at(inputs, of->inputs, b, p + i - of->top, q + j - of->left, c) *
               kernel[((i * 3 + j) * of->inputs.channels + c) * of->outputs.channels + d];
  return sum;
}

static double gradient(const Convolution *of, const float *inputs, const float *cotangent, int64_t i,
                       int64_t j, int64_t c, int64_t d) {
  double sum = 0;
  for (int64_t b = 0; b < of->outputs.batch; b++)
    for (int64_t p = 0; p < of->outputs.height; p++)
      for (int64_t q = 0; q < of->outputs.width; q++)
        sum += at(inputs, of->inputs, b, p + i - of->top, q + j - of->left, c) *
               at(cotangent, of->outputs, b, p, q, d);
  return sum;
}

/* The largest difference among some entries of the outputs and of the gradient by the kernel. */
static double difference(const Convolution *of) {
  Shape in = of->inputs, out = of->outputs;
  int64_t kernel_size = 9 * in.channels * out.channels;
  float *inputs = draw_numbers(size_of(in)), *kernel = draw_numbers(kernel_size);
  float *cotangent = draw_numbers(size_of(out));
  float *outputs = draw_numbers(size_of(out)), *by_kernel = draw_numbers(kernel_size);
  double worst = 0;
  if (!winograd_convolve(of, inputs, kernel, outputs) ||
      !winograd_kernel_gradient(of, inputs, cotangent, by_kernel))
    worst = INFINITY;
  for (int n = 0; n < ENTRIES_OF_TRIAL; n++) {
    int64_t i = draw(0, 2), j = draw(0, 2), c = draw(0, in.channels - 1);
    int64_t d = draw(0, out.channels - 1);
    double ours = by_kernel[((i * 3 + j) * in.channels + c) * out.channels + d];
    worst = fmax(worst, fabs(ours - gradient(of, inputs, cotangent, i, j, c, d)));
    if (out.batch == 0) continue;
    int64_t b = draw(0, out.batch - 1), p = draw(0, out.height - 1), q = draw(0, out.width - 1);
    ours = at(outputs, out, b, p, q, d);
    worst = fmax(worst, fabs(ours - output(of, inputs, kernel, b, p, q, d)));
  }
  free(inputs), free(kernel), free(cotangent), free(outputs), free(by_kernel);
  return worst;
}

int main(void) {
  for (int trial = 0; trial < TRIALS; trial++) {
    Shape in = {trial % 20 == 0 ? 120 : draw(0, 3), draw(1, 9), draw(1, 9), draw(1, 70)};
    /* Padding may crop at the far edges. */
    Shape out = {in.batch, draw(1, in.height + 3), draw(1, in.width + 3), draw(1, 70)};
    Convolution of = {in, out, draw(0, 3), draw(0, 3), {NULL, draw(1, 3)}};
    double worst = difference(&of);
    if (!(worst < 1e-4)) {
      printf("trial %d of %d: off by %g\n", trial, TRIALS, worst);
      return 1;
    }
  }
  return 0;
}
