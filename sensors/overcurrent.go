package sensors

// OverCurrent is one of a Jetson's counters of moments in which its supply was
// overloaded and the hardware slowed down. The counters run since boot. oc1 is
// under-voltage of the input, oc2 too much on average, oc3 too much for an
// instant. oc3 counts all the time in the strongest power mode and is normal there.
type OverCurrent struct {
	Name   string       `json:"name"`   // "oc1"
	Events Value[int64] `json:"events"` // since boot
	Recent Value[int64] `json:"recent"` // since the reading before; Absent in the first
}

// failed is the counter when its chip does not answer.
func (o OverCurrent) failed() OverCurrent {
	return OverCurrent{Name: o.Name, Events: lost(o.Events), Recent: lost(o.Recent)}
}

// readOverCurrent reads the counters of a chip soctherm_oc and compares them with
// those of before.
func readOverCurrent(a *attributes, before []OverCurrent) []OverCurrent {
	var counters []OverCurrent
	for n := 1; n <= 3; n++ {
		events := a.number(file("oc", n, "_event_cnt"))
		if events.State == Absent {
			continue
		}
		counter := OverCurrent{Name: file("oc", n, ""), Events: events}
		for _, b := range before {
			if b.Name == counter.Name && b.Events.State == OK && events.State == OK && events.V >= b.Events.V {
				counter.Recent = known(events.V - b.Events.V)
			}
		}
		counters = append(counters, counter)
	}
	return counters
}
