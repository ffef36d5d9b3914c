// The part of attention.c that depends on the type of keys and values.

typedef struct {
  float query[MAX_GROUPS][MAX_DIM];
  float sum[MAX_GROUPS][MAX_DIM];
  float top[MAX_GROUPS], total[MAX_GROUPS];
} NAME(State);

// Add `count` positions, whose keys and values are `stride` numbers apart.
static inline __attribute__((always_inline)) void NAME(add)(
    NAME(State) *state, const REAL *keys, const REAL *values, int64_t count, int64_t stride, int groups, int dim,
    float softcap) {
  float scores[MAX_GROUPS][CHUNK];
  for (int64_t first = 0; first < count; first += CHUNK) {
    int size = count - first < CHUNK ? (int)(count - first) : CHUNK;
    for (int n = 0; n < size; n++) {
      const REAL *key = keys + (first + n) * stride;
      float wide[MAX_DIM];
      for (int d = 0; d < dim; d++) wide[d] = NAME(to_float)(key[d]);
      for (int g = 0; g < groups; g++) {
        float score = 0;
        for (int d = 0; d < dim; d++) score += state->query[g][d] * wide[d];
        scores[g][n] = score;
      }
    }
    for (int g = 0; g < groups; g++) {
      if (softcap > 0)
        for (int n = 0; n < size; n++) scores[g][n] = softcap * tanhf(scores[g][n] / softcap);
      float top = state->top[g];
      for (int n = 0; n < size; n++) top = scores[g][n] > top ? scores[g][n] : top;
      float shrink = expf(state->top[g] - top), total = 0;
      for (int n = 0; n < size; n++) {
        scores[g][n] = expf(scores[g][n] - top);
        total += scores[g][n];
      }
      state->total[g] = state->total[g] * shrink + total;
      state->top[g] = top;
      for (int d = 0; d < dim; d++) state->sum[g][d] *= shrink;
    }
    for (int n = 0; n < size; n++) {
      const REAL *value = values + (first + n) * stride;
      float wide[MAX_DIM];
      for (int d = 0; d < dim; d++) wide[d] = NAME(to_float)(value[d]);
      for (int g = 0; g < groups; g++)
        for (int d = 0; d < dim; d++) state->sum[g][d] += scores[g][n] * wide[d];
    }
  }
}

static inline __attribute__((always_inline)) void NAME(attend_head)(
    const Call *c, int64_t row, int64_t head, int groups, int dim) {
  NAME(State) state;
  int64_t at = (row * c->kv_heads + head) * groups;
  const REAL *query = (const REAL *)c->query + at * dim;
  for (int g = 0; g < groups; g++) {
    for (int d = 0; d < dim; d++) state.query[g][d] = NAME(to_float)(query[g * dim + d]) * c->scale;
    int given = c->part != 0;
    state.top[g] = given ? c->part_log_sum[at + g] : -1e30f;
    state.total[g] = given ? 1.0f : 0.0f;
    for (int d = 0; d < dim; d++) state.sum[g][d] = given ? c->part[(at + g) * dim + d] : 0.0f;
  }
  int64_t low = c->low[row];
  for (int64_t r = c->first_run[row]; r < c->first_run[row + 1]; r++) {
    int64_t skip = low - c->run_start[r];
    skip = skip < 0 ? 0 : skip;
    if (skip >= c->run_length[r]) continue;
    int64_t offset = head * c->run_head_stride[r] + skip * dim;
    NAME(add)(&state, (const REAL *)c->run_key[r] + offset, (const REAL *)c->run_value[r] + offset,
              c->run_length[r] - skip, dim, groups, dim, c->softcap);
  }
  int64_t stride = c->kv_heads * dim, length = c->own_length[row];
  int64_t skip = low - c->own_start[row];
  skip = skip < 0 ? 0 : skip;
  for (int64_t b = 0; b * c->block < length; b++) {
    int64_t left = length - b * c->block, begin = skip - b * c->block;
    int64_t end = left < c->block ? left : c->block;
    begin = begin < 0 ? 0 : begin;
    if (begin >= end) continue;
    int64_t offset = (c->table[row * c->width + b] * c->block + begin) * stride + head * dim;
    NAME(add)(&state, (const REAL *)c->pool_key + offset, (const REAL *)c->pool_value + offset, end - begin, stride,
              groups, dim, c->softcap);
  }
  REAL *result = (REAL *)c->result + at * dim;
  for (int g = 0; g < groups; g++) {
    float share = 1.0f / state.total[g];
    for (int d = 0; d < dim; d++) result[g * dim + d] = NAME(from_float)(state.sum[g][d] * share);
  }
}

void NAME(attend)(const Call *c) {
  int64_t width = c->kv_heads * c->dim;
  for (int64_t row = 0; row < c->rows; row++) {
    int64_t last = c->own_length[row] - 1;
    int64_t block = c->table[row * c->width + last / c->block];
    int64_t place = (block * c->block + last % c->block) * width;
    memcpy((REAL *)c->pool_key + place, (const REAL *)c->new_key + row * width, width * sizeof(REAL));
    memcpy((REAL *)c->pool_value + place, (const REAL *)c->new_value + row * width, width * sizeof(REAL));
  }
  int64_t tasks = c->rows * c->kv_heads;
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t task = 0; task < tasks; task++) {
    // Neighbouring tasks share a head, so that shared keys are read from the cache.
    int64_t head = task / c->rows, row = task % c->rows;
    int groups = (int)c->groups, dim = (int)c->dim;
    // The usual sizes are constants, which the compiler unrolls.
    if (dim == 64 && groups == 3) NAME(attend_head)(c, row, head, 3, 64);
    else if (dim == 64) NAME(attend_head)(c, row, head, groups, 64);
    else if (dim == 128) NAME(attend_head)(c, row, head, groups, 128);
    else NAME(attend_head)(c, row, head, groups, dim);
  }
}
