"""Documents to passages to ranked evidence, over FAISS and SQLite; usable alone.

    encoder = load_encoder()
    ingest(Path("docs"), Path("build/index"), encoder)
    with open_index(Path("build/index"), encoder) as index:
        for found in index.search("How long do I have to dispute a payment?"):
            print(found.passage.doc_id, found.passage.start, found.passage.text)

Importing this loads neither torch nor FAISS; what needs them imports them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
