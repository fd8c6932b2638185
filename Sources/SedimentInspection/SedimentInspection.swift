// SedimentInspection: placeholder until its first file lands.
