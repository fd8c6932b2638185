#include "CSedimentKernels.h"
