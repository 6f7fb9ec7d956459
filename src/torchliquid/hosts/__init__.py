"""torchliquid inside other libraries: sktime, darts, skforecast. Each file needs its library."""
