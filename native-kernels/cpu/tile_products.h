// Products of packed panels of bfloat16: in tiles where the source is compiled for these, else on vectors.
#pragma once
#if defined(__AMX_BF16__)
#include "amx_products.h"
#else
#include "vector_products.h"
#endif
