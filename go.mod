module brainjar

go 1.26

require github.com/shirou/gopsutil/v3 v3.24.5 // indirect
