"""All that is known of upstream, read from vendor/."""
