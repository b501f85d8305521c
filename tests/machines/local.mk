# tests/machines
