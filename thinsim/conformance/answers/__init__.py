"""What a subject answered, compared with what another did."""
