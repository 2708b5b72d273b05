package supervisor

// use is what a run uses of CPU and GPU.
type use struct {
	cpu float64 // percent of one CPU, as last measured
	gpu bool    // it may use the GPU
}

// shares are the parts that runs have in what the board takes; they add up to 1. A run
// weighs as much as its part of the time of all CPUs, and if it may use the GPU, its
// part of the GPU's load: that one nobody can tell apart, so those that may use the
// GPU have equal parts in it. Where all weigh nothing they have equal parts in all.
//
// So what the board takes when idle, and for what is no experiment, is in the
// figures too: a run that is alone has all of it.
func shares(uses []use, cpus int, gpu float64) []float64 {
	onGPU := 0
	for _, u := range uses {
		if u.gpu {
			onGPU++
		}
	}
	parts, sum := make([]float64, len(uses)), 0.0
	for i, u := range uses {
		parts[i] = max(0, u.cpu) / 100 / float64(max(1, cpus))
		if u.gpu {
			parts[i] += gpu / float64(onGPU)
		}
		sum += parts[i]
	}
	for i := range parts {
		switch {
		case len(parts) == 1:
			parts[i] = 1
		case sum > 0:
			parts[i] /= sum
		default:
			parts[i] = 1 / float64(len(parts))
		}
	}
	return parts
}
