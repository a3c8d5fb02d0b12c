"""What several machines share: finished steps under their keys, in a bucket or a folder.

    v1/blobs/ab/<sha256>      the bytes of a file
    v1/keys/ab/<key>.json     the manifest of an artifact, written last; signed where there is a key
    v1/records/ab/<key>.json  how a step was done whose files stay where they are
    v1/parts/                 files that are being written, where a rename makes them whole
    v1/damaged/               what was found to be wrong

fsspec reaches the place; it is imported when a cache is first asked.
"""
