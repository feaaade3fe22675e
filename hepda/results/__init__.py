"""The results that evaluation, fits and reports share: types without computation, which import no other package."""
