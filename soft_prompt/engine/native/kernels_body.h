// The part of kernels.c that depends on the type of keys and values.

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
  const REAL *query = (const REAL *)c->query + row * c->query_stride + head * groups * dim;
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

// Write the rows' new keys and values to the pool.
void NAME(write)(const Call *c) {
  int64_t width = c->kv_heads * c->dim;
  for (int64_t row = 0; row < c->rows; row++) {
    int64_t last = c->own_length[row] - 1;
    int64_t block = c->table[row * c->width + last / c->block];
    int64_t place = (block * c->block + last % c->block) * width;
    memcpy((REAL *)c->pool_key + place, (const REAL *)c->new_key + row * c->new_stride, width * sizeof(REAL));
    memcpy((REAL *)c->pool_value + place, (const REAL *)c->new_value + row * c->new_stride, width * sizeof(REAL));
  }
}

void NAME(attend)(const Call *c) {
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

// One row's root mean square norm.
static inline void NAME(norm_row)(const REAL *in, const REAL *weight, REAL *out, int64_t size, float epsilon) {
  float squares = 0;
  for (int64_t n = 0; n < size; n++) squares += NAME(to_float)(in[n]) * NAME(to_float)(in[n]);
  float scale = 1.0f / sqrtf(squares / (float)size + epsilon);
  // Rounded before the weight is applied, as Transformers does.
  for (int64_t n = 0; n < size; n++)
    out[n] = NAME(from_float)(NAME(to_float)(NAME(from_float)(NAME(to_float)(in[n]) * scale)) * NAME(to_float)(weight[n]));
}

// Add `more` to `hidden` unless it is null, and write the norm of the sum to `out`. All [rows, size].
void NAME(add_norm)(
    REAL *hidden, const REAL *more, const REAL *weight, REAL *out, int64_t rows, int64_t size, float epsilon) {
#pragma omp parallel for if (rows * size >= MANY)
  for (int64_t row = 0; row < rows; row++) {
    REAL *own = hidden + row * size;
    if (more)
      for (int64_t n = 0; n < size; n++)
        own[n] = NAME(from_float)(NAME(to_float)(own[n]) + NAME(to_float)(more[row * size + n]));
    NAME(norm_row)(own, weight, out + row * size, size, epsilon);
  }
}

// Rotate queries and keys in place, after an optional norm of each head. `joined`: [rows, query, key and value heads,
// dim]. `cosine` and `sine`: [rows, dim].
void NAME(rotate)(
    REAL *joined, const float *cosine, const float *sine, const REAL *query_norm, const REAL *key_norm, int64_t rows,
    int64_t heads, int64_t kv_heads, int64_t dim, float epsilon) {
  int64_t half = dim / 2;
#pragma omp parallel for if (rows * (heads + kv_heads) * dim >= MANY)
  for (int64_t row = 0; row < rows; row++) {
    const float *c = cosine + row * dim, *s = sine + row * dim;
    for (int64_t head = 0; head < heads + kv_heads; head++) {
      REAL *x = joined + (row * (heads + 2 * kv_heads) + head) * dim;
      const REAL *norm = head < heads ? query_norm : key_norm;
      if (norm) NAME(norm_row)(x, norm, x, dim, epsilon);
      for (int64_t n = 0; n < half; n++) {
        float a = NAME(to_float)(x[n]), b = NAME(to_float)(x[n + half]);
        x[n] = NAME(from_float)(a * c[n] - b * s[n]);
        x[n + half] = NAME(from_float)(b * c[n + half] + a * s[n + half]);
      }
    }
  }
}

// silu(gate) * up. `joined`: [rows, 2 * size], gates first; `out`: [rows, size].
void NAME(gated)(const REAL *joined, REAL *out, int64_t rows, int64_t size) {
#pragma omp parallel for if (rows * size >= MANY)
  for (int64_t row = 0; row < rows; row++) {
    const REAL *gate = joined + row * 2 * size, *up = gate + size;
    for (int64_t n = 0; n < size; n++) {
      float x = NAME(to_float)(gate[n]);
      float activated = NAME(to_float)(NAME(from_float)(x / (1.0f + expf(-x))));
      out[row * size + n] = NAME(from_float)(activated * NAME(to_float)(up[n]));
    }
  }
}

// Products of `count` tokens with TILE rows of weights. Compilers do not unroll such a sum by themselves.
static inline __attribute__((always_inline)) void NAME(inner_products)(
    const REAL *x, const REAL *const *weights, float inner[TILE][TILE], int64_t inputs, int64_t x_stride, int count) {
  Lanes sums[TILE][TILE];
  for (int t = 0; t < count; t++)
    for (int r = 0; r < TILE; r++) sums[t][r] = (Lanes){0};
  int64_t whole = inputs - inputs % LANES;
  for (int64_t n = 0; n < whole; n += LANES) {
    Lanes wide[TILE];
    for (int r = 0; r < TILE; r++) wide[r] = NAME(lanes)(weights[r] + n);
    for (int t = 0; t < count; t++) {
      Lanes own = NAME(lanes)(x + t * x_stride + n);
      for (int r = 0; r < TILE; r++) sums[t][r] += own * wide[r];
    }
  }
  for (int t = 0; t < count; t++)
    for (int r = 0; r < TILE; r++) {
      inner[t][r] = 0;
      for (int lane = 0; lane < LANES; lane++) inner[t][r] += sums[t][r][lane];
      for (int64_t n = whole; n < inputs; n++)
        inner[t][r] += NAME(to_float)(x[t * x_stride + n]) * NAME(to_float)(weights[r][n]);
    }
}

// The low-rank products of `count` neighbouring tokens with the same ranks, at most TILE, which read the weights once.
static inline __attribute__((always_inline)) void NAME(low_rank_tile)(
    const REAL *x, const REAL *down, const REAL *up, REAL *out, int64_t ranks, int64_t inputs, int64_t outputs,
    int64_t x_stride, int64_t out_stride, int count) {
  // By group of TILE ranks. Behind the last rank, its weights are read again and multiplied by 0.
  float inner[MAX_RANKS / TILE][TILE][TILE];
  for (int64_t first = 0; first < ranks; first += TILE) {
    const REAL *weights[TILE];
    float(*own)[TILE] = inner[first / TILE];
    for (int r = 0; r < TILE; r++) weights[r] = down + (first + r < ranks ? first + r : ranks - 1) * inputs;
    NAME(inner_products)(x, weights, own, inputs, x_stride, count);
    for (int t = 0; t < count; t++)
      for (int r = 0; r < TILE; r++) own[t][r] = first + r < ranks ? NAME(to_float)(NAME(from_float)(own[t][r])) : 0;
  }
  float sums[TILE][CHUNK];
  for (int64_t begin = 0; begin < outputs; begin += CHUNK) {
    int64_t size = outputs - begin < CHUNK ? outputs - begin : CHUNK;
    for (int t = 0; t < count; t++)
      for (int64_t n = 0; n < size; n++) sums[t][n] = 0;
    for (int64_t first = 0; first < ranks; first += TILE) {
      const REAL *weights[TILE];
      float(*own)[TILE] = inner[first / TILE];
      for (int r = 0; r < TILE; r++)
        weights[r] = up + (first + r < ranks ? first + r : ranks - 1) * outputs + begin;
      for (int64_t n = 0; n < size; n++)
        for (int t = 0; t < count; t++)
          for (int r = 0; r < TILE; r++) sums[t][n] += own[t][r] * NAME(to_float)(weights[r][n]);
    }
    for (int t = 0; t < count; t++) {
      REAL *result = out + t * out_stride + begin;
      for (int64_t n = 0; n < size; n++)
        result[n] = NAME(from_float)(NAME(to_float)(result[n]) + NAME(to_float)(NAME(from_float)(sums[t][n])));
    }
  }
}

// Add low-rank products to a layer's outputs. Token t has the ranks from first[owner[t]] on, and none if its owner is
// `adapters`. `down`: [ranks, inputs]; `up`: [ranks, outputs]; `x` and `out` have rows that are strides apart. An
// adapter has at most MAX_RANKS ranks.
void NAME(low_rank)(
    const REAL *x, const REAL *down, const REAL *up, const int64_t *owner, const int64_t *first, REAL *out,
    int64_t rows, int64_t inputs, int64_t outputs, int64_t x_stride, int64_t out_stride, int64_t adapters) {
  int64_t tiles = (rows + TILE - 1) / TILE;
#pragma omp parallel for if (rows * (inputs + outputs) >= MANY)
  for (int64_t tile = 0; tile < tiles; tile++) {
    int64_t end = (tile + 1) * TILE < rows ? (tile + 1) * TILE : rows;
    for (int64_t row = tile * TILE; row < end;) {
      int64_t own = owner[row], count = 1;
      while (row + count < end && owner[row + count] == own) count++;
      if (own < adapters) {
        const REAL *in = x + row * x_stride, *low = down + first[own] * inputs, *high = up + first[own] * outputs;
        REAL *result = out + row * out_stride;
        int64_t ranks = first[own + 1] - first[own];
        // A constant number of tokens, which the compiler unrolls.
        if (count == TILE)
          NAME(low_rank_tile)(in, low, high, result, ranks, inputs, outputs, x_stride, out_stride, TILE);
        else
          for (int64_t t = 0; t < count; t++)
            NAME(low_rank_tile)
            (in + t * x_stride, low, high, result + t * out_stride, ranks, inputs, outputs, x_stride, out_stride, 1);
      }
      row += count;
    }
  }
}

// The index of the largest value of each row, the first one of several. `values`: [rows, size].
void NAME(largest)(const REAL *values, int64_t *out, int64_t rows, int64_t size) {
#pragma omp parallel for if (rows * size >= MANY)
  for (int64_t row = 0; row < rows; row++) {
    const REAL *own = values + row * size;
    float top = NAME(to_float)(own[0]);
    for (int64_t n = 1; n < size; n++) {
      float x = NAME(to_float)(own[n]);
      top = x > top ? x : top;
    }
    int64_t at = 0;
    while (NAME(to_float)(own[at]) != top && at < size - 1) at++;
    out[row] = at;
  }
}
