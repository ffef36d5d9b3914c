// What a decoding step does between its matrix products, for one new token per row.
//
// Attention reads keys and values where they stand, without copying them: a row sees its runs, which other rows may
// share, and its own positions, which stand in blocks of a pool. Everything is compiled twice, with REAL as bf16
// (uint16_t) and as float. Scores and sums are in float.

#include <math.h>
#include <stdint.h>
#include <string.h>

#define CHUNK 64
#define MAX_GROUPS 16
#define MAX_DIM 256
// Tokens, and ranks, that one product of low rank takes together.
#define TILE 4
#define MAX_RANKS 256
#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif

typedef float Lanes __attribute__((vector_size(LANES * 4)));
typedef uint16_t HalfLanes __attribute__((vector_size(LANES * 2)));
typedef uint32_t LaneBits __attribute__((vector_size(LANES * 4)));

typedef struct {
  // Queries, [rows, kv_heads * groups, dim], `query_stride` numbers from row to row, and results without gaps.
  const void *query;
  void *result;
  // The rows' new keys and values, [rows, kv_heads, dim], `new_stride` from row to row, which go to the pool first.
  const void *new_key, *new_value;
  int64_t query_stride, new_stride;
  int64_t rows, kv_heads, groups, dim;
  float scale, softcap;
  // Runs: row r has those from first_run[r] to first_run[r + 1]. Addresses are those of this layer.
  const int64_t *first_run, *run_key, *run_value, *run_length, *run_start, *run_head_stride;
  // The pool of this layer, [blocks, block, kv_heads, dim]; tables [rows, width]; own positions, with the new one.
  void *pool_key, *pool_value;
  const int64_t *table;
  int64_t width, block;
  const int64_t *own_length, *own_start;
  // The first position that each row sees.
  const int64_t *low;
  // Attention to other positions, [rows, kv_heads * groups, dim] and [rows, kv_heads * groups], or null.
  const float *part, *part_log_sum;
} Call;

// From this number of values on, work is shared between threads.
#define MANY 16384

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

#define REAL uint16_t
#define NAME(x) JOIN(x, _bf16)
static inline float to_float_bf16(uint16_t x) {
  uint32_t bits = (uint32_t)x << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
static inline uint16_t from_float_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  // Round to the nearest, ties to even.
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
static inline __attribute__((always_inline)) Lanes lanes_bf16(const uint16_t *x) {
  HalfLanes half;
  memcpy(&half, x, sizeof half);
  LaneBits bits = __builtin_convertvector(half, LaneBits) << 16;
  return (Lanes)bits;
}
#include "kernels_body.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(x) JOIN(x, _fp32)
static inline float to_float_fp32(float x) { return x; }
static inline float from_float_fp32(float x) { return x; }
static inline __attribute__((always_inline)) Lanes lanes_fp32(const float *x) {
  Lanes value;
  memcpy(&value, x, sizeof value);
  return value;
}
#include "kernels_body.h"
