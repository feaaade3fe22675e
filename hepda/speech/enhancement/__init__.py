"""Speech enhancement: noisy recordings to clean ones, by networks that are trained and by filters that are not."""
