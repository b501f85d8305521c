# tests/interleave
