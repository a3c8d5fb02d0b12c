"""Ground: errors, values, files, processes, the machine; knows nothing of models or recipes."""
