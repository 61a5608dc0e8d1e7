"""imgtools: create, convert, check, serve and boot disk images."""
