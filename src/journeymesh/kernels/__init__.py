"""How numeric kernels are compiled and where their machine code is kept. Other rooms write the kernels."""
