"""The C kernels as functions of tensors: one file a kernel."""
