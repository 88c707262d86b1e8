/* What XLA calls. */

#include "winograd.h"

/* The attributes of a call, which come sorted by name. */
enum { LEFT, THREADS, TOP };

/* XLA first asks each handler which version of the interface it was compiled for. */
static bool tells_version(XLA_FFI_CallFrame *frame) {
  /* The type of what all extensions begin with has another name in every version. */
  if (!frame->extension_start || frame->extension_start->type != XLA_FFI_Extension_Metadata)
    return false;
  XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)frame->extension_start)->metadata;
  metadata->api_version.major_version = XLA_FFI_API_MAJOR;
  metadata->api_version.minor_version = XLA_FFI_API_MINOR;
  return true;
}

static XLA_FFI_Error *lack_of_memory(XLA_FFI_CallFrame *frame) {
  XLA_FFI_Error_Create_Args error = {
      .struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE,
      .message = "no memory for the tiles of a convolution",
      .errc = XLA_FFI_Error_Code_RESOURCE_EXHAUSTED,
  };
  return frame->api->XLA_FFI_Error_Create(&error);
}

static int64_t attribute(XLA_FFI_CallFrame *frame, int index) {
  return *(int64_t *)((XLA_FFI_Scalar *)frame->attrs.attrs[index])->value;
}

/* The last four dimensions are those of one image batch or kernel, all others count members. */
static Shape shape_of(const XLA_FFI_Buffer *buffer) {
  const int64_t *sizes = buffer->dims + buffer->rank - 4;
  return (Shape){sizes[0], sizes[1], sizes[2], sizes[3]};
}

static float *of_member(const XLA_FFI_Buffer *buffer, int64_t member) {
  Shape shape = shape_of(buffer);
  return (float *)buffer->data +
         member * shape.batch * shape.height * shape.width * shape.channels;
}

static int64_t num_members(const XLA_FFI_Buffer *buffer) {
  int64_t count = 1;
  for (int64_t axis = 0; axis < buffer->rank - 4; axis++) count *= buffer->dims[axis];
  return count;
}

static Convolution convolution_of(XLA_FFI_CallFrame *frame, const XLA_FFI_Buffer *inputs,
                                  const XLA_FFI_Buffer *outputs) {
  return (Convolution){
      .inputs = shape_of(inputs),
      .outputs = shape_of(outputs),
      .top = attribute(frame, TOP),
      .left = attribute(frame, LEFT),
      .threads = {frame, attribute(frame, THREADS)},
  };
}

/* Both take the inputs and one array more; that, or the result, is as large as the outputs. */
static XLA_FFI_Error *compute(XLA_FFI_CallFrame *frame, bool kernel_gradient) {
  if (tells_version(frame)) return NULL;
  const XLA_FFI_Buffer *inputs = frame->args.args[0], *other = frame->args.args[1];
  const XLA_FFI_Buffer *result = frame->rets.rets[0];
  Convolution convolution = convolution_of(frame, inputs, kernel_gradient ? other : result);
  bool (*function)(const Convolution *, const float *, const float *, float *) =
      kernel_gradient ? winograd_kernel_gradient : winograd_convolve;
  for (int64_t i = 0; i < num_members(inputs); i++)
    if (!function(&convolution, of_member(inputs, i), of_member(other, i), of_member(result, i)))
      return lack_of_memory(frame);
  return NULL;
}

/* (inputs, kernel) -> outputs */
XLA_FFI_Error *ensemble_jax_convolve(XLA_FFI_CallFrame *frame) { return compute(frame, false); }

/* (inputs, gradient by the outputs) -> gradient by the kernel */
XLA_FFI_Error *ensemble_jax_kernel_gradient(XLA_FFI_CallFrame *frame) {
  return compute(frame, true);
}
