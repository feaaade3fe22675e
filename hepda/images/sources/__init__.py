"""Where images come from: files of published data sets, drawn digits and signs, blended backgrounds."""
