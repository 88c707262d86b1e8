/* Winograd's F(2x2, 3x3), from images to images without writing tiles to memory.

   A. Lavin and S. Gray, 'Fast Algorithms for Convolutional Neural Networks', CVPR 2016: the 2x2
   outputs of a 3x3 kernel g on a tile d of 4x4 inputs are A^T [(G g G^T) * (B^T d B)] A, which is 16
   products over the channels instead of 36. Some tiles at a time are transformed, multiplied and
   transformed back while they are in a core's cache; as operations of XLA each of the three writes
   all tiles of the batch, four times as many numbers as there are in the images.

   All arrays are float32 and row by row: images [batch, height, width, channels], kernels
   [3, 3, channels, features]. Results are the same bits for every number of threads. */
#ifndef ENSEMBLE_JAX_WINOGRAD_H_
#define ENSEMBLE_JAX_WINOGRAD_H_

#include <stdbool.h>
#include <stdint.h>

#include "parallel.h"

typedef struct {
  int64_t batch, height, width, channels;
} Shape;

typedef struct {
  Shape inputs, outputs;
  int64_t top, left; /* rows and columns of zeros before the first of the inputs */
  Threads threads;
} Convolution;

/* Both return whether there was memory enough. */
bool winograd_convolve(const Convolution *convolution, const float *inputs, const float *kernel,
                       float *outputs);

/* The gradient of a function by the kernel, given that by the outputs. */
bool winograd_kernel_gradient(const Convolution *convolution, const float *inputs,
                              const float *cotangent, float *kernel);

#endif
