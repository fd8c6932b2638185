// SedimentJob: placeholder until its first file lands.
