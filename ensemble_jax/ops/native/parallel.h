/* Loops that share their rounds among the threads of XLA. */
#ifndef ENSEMBLE_JAX_PARALLEL_H_
#define ENSEMBLE_JAX_PARALLEL_H_

#include <stdint.h>

#include "xla/ffi/api/c_api.h"

typedef struct {
  XLA_FFI_CallFrame *frame; /* of the call whose threads these are */
  int64_t count;            /* how many may be used, with the one that calls */
} Threads;

/* `task(context, i)` for 0 <= i < count, in any order and at the same time; returns when all are
   done. */
void parallel_for(const Threads *threads, int64_t count, void (*task)(void *, int64_t),
                  void *context);

#endif
