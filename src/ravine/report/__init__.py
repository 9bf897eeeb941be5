"""Reports: tables, pictures and the files that a sweep leaves behind; nobody imports them."""
