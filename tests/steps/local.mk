# tests/steps
