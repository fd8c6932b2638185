// SedimentTestKit: placeholder until its first file lands.
