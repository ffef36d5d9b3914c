"""Search: dense and BM25 rankings, fusion, reranking, evidence score and budget. Entry point: `index.open_index`."""
