"""Documents to passages to ranked evidence, with FAISS and SQLite. Usable without the other packages.

    encoder = load_encoder()
    ingest(Path("docs"), Path("build/index"), encoder)
    with open_index(Path("build/index"), encoder) as index:
        for result in index.search("How long do I have to dispute a payment?"):
            print(result.passage.doc_id, result.passage.start, result.passage.text)

Importing this package does not load torch or FAISS.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
