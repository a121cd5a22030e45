module versus

go 1.25
