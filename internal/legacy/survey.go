package legacy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"brainjar/internal/quantity"
)

const (
	templateUnit = "brain-experiment@.service"
	targetUnit   = "brain-experiment.target"
)

// coordinatorUnits are the names that the coordinator's unit has had.
var coordinatorUnits = []string{"brain-experiment-coordinator.service", "brain-coordinator.service"}

var (
	instanceUnit = pattern(`^brain-experiment@(.+)\.service$`)
	idForm       = pattern(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	notInID      = pattern(`[^A-Za-z0-9_.-]+`)
	hexEscape    = pattern(`\\x[0-9a-fA-F]{2}`)
)

// survey finds and converts all there is; false if there is nothing.
func (r *reader) survey() bool {
	_, hasTemplate := r.find(unitDirs, templateUnit)
	enabled := r.enabled()
	instances := r.instances(enabled)
	if hasTemplate {
		r.template = r.convert("", "")
	}
	taken := make(map[string]bool)
	for _, instance := range instances {
		id := r.idOf(instance)
		if taken[id] {
			r.note(place{file: "brain-experiment@" + instance}, "is left out: another experiment has the id "+id)
			continue
		}
		taken[id] = true
		c := r.convert(instance, id)
		c.enabled = enabled[instance]
		r.experiments = append(r.experiments, c)
	}
	found := r.coordinator()
	r.others()
	return found || hasTemplate || len(instances) > 0
}

// enabled returns what wants each instance, by the links in directories like
// multi-user.target.wants.
func (r *reader) enabled() map[string]string {
	enabled := make(map[string]string)
	targetWanted, targetOnly := false, false
	for _, dir := range unitDirs {
		for _, wants := range r.list(dir) {
			target, isWants := strings.CutSuffix(wants, ".wants")
			if !isWants {
				if target, isWants = strings.CutSuffix(wants, ".requires"); !isWants {
					continue
				}
			}
			for _, link := range r.list(path.Join(dir, wants)) {
				if link == targetUnit {
					targetWanted = true
				}
				if m := instanceUnit().FindStringSubmatch(link); m != nil {
					enabled[m[1]] = target
					targetOnly = targetOnly || target == targetUnit
				}
			}
		}
	}
	if targetOnly && !targetWanted {
		r.note(place{file: targetUnit}, "was not enabled itself: what it wants was started by hand, and is started with brainjar now; say autostart = false where that is wrong")
	}
	return enabled
}

// instances returns the instances that any file speaks of, sorted.
func (r *reader) instances(enabled map[string]string) []string {
	found := make(map[string]bool)
	for instance := range enabled {
		found[instance] = true
	}
	for _, dir := range unitDirs {
		for _, name := range r.list(dir) {
			if m := instanceUnit().FindStringSubmatch(strings.TrimSuffix(name, ".d")); m != nil {
				found[m[1]] = true
			}
		}
	}
	for _, dir := range settingDirs {
		for _, name := range r.list(path.Join(dir, "experiments")) {
			if instance, ok := strings.CutSuffix(name, ".env"); ok && instance != "" {
				found[instance] = true
			}
		}
	}
	var sorted []string
	for instance := range found {
		sorted = append(sorted, instance)
	}
	slices.Sort(sorted)
	return sorted
}

// idOf makes an id of an instance's name.
func (r *reader) idOf(instance string) string {
	id := hexEscape().ReplaceAllStringFunc(instance, func(escape string) string {
		code, _ := strconv.ParseUint(escape[2:], 16, 8) // two digits: cannot fail
		return string([]byte{byte(code)})
	})
	id = notInID().ReplaceAllString(id, "_")
	if !idForm().MatchString(id) {
		id = "x" + id
		id = id[:min(len(id), 64)]
	}
	if id != instance {
		r.note(place{file: "brain-experiment@" + instance}, "has the id "+id+" now")
	}
	return id
}

// convert makes the keys of one instance, or of the template.
func (r *reader) convert(instance, id string) *conversion {
	c := &conversion{
		reader: r, instance: instance, id: id,
		own: make(map[string]bool), variables: make(map[string]variable), settings: make(map[string]setting),
	}
	c.readUnit()
	c.readVariables()
	known := c.knownVariables()
	c.convertUnit()
	for key, s := range known {
		if !c.ownDirective(key) {
			c.settings[key] = s
		}
	}
	if _, ok := c.settings["memory_max"]; !ok && c.settings["command"].value != "" {
		c.set("memory_max", quoted("4G"), "brainjar wants a limit, and there was none: look at this")
		c.note(place{file: "brain-experiment@" + instance + ".service"}, "has no memory limit that could be carried over: memory_max is 4G now")
	}
	c.fitMemory()
	return c
}

// fitMemory lowers a memory limit that no experiment could be started with here.
func (c *conversion) fitMemory() {
	s, ok := c.settings["memory_max"]
	limit, _ := quantity.ParseBytes(strings.Trim(s.value, `"`)) // was converted
	if !ok || limit <= c.room || c.room < smallest {
		return
	}
	most := fmt.Sprintf("%dM", c.room/quantity.MiB)
	if c.room >= 4*quantity.GiB {
		most = fmt.Sprintf("%dG", c.room/quantity.GiB)
	}
	why := fmt.Sprintf("more than the %v that this machine can give", c.room)
	c.note(place{}, fmt.Sprintf("memory_max = %s (%s) is %s: it is %s now", s.value, s.from, why, most))
	c.set("memory_max", quoted(most), s.from+", "+why)
}

// readUnit reads the unit's file, the template's where it has none, and its drop-ins.
func (c *conversion) readUnit() {
	names := []string{templateUnit}
	if c.instance != "" {
		names = []string{"brain-experiment@" + c.instance + ".service", templateUnit}
	}
	for i, name := range names {
		if file, ok := c.find(unitDirs, name); ok {
			c.own[file] = c.instance != "" && i == 0
			c.addFile(file)
			break
		}
	}
	for _, file := range c.dropIns(names...) {
		c.own[file] = c.instance != "" && path.Base(path.Dir(file)) == names[0]+".d"
		c.addFile(file)
	}
}

func (c *conversion) addFile(file string) {
	text, err := c.read(file)
	switch {
	case errors.Is(err, errMasked):
		c.masked = true
		c.note(place{file: file}, "is masked: it is not started by itself")
	case err != nil:
		c.note(place{file: file}, "cannot be read: "+reason(err))
	default:
		c.unit = append(c.unit, parseUnit(file, text, c.note)...)
	}
}

// reason is an error of the file system without the path, which is said already.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

// others tells of what else belonged to the old installation.
func (r *reader) others() {
	for _, other := range []struct{ file, words string }{
		{"etc/logrotate.d/brain-in-jar", "is not needed: output goes to the journal, or with log = \"file\" to files that brainjar bounds itself"},
		{"etc/udev/rules.d/99-brain-in-jar-gpu.rules", "is not needed: gpu = true grants the device nodes to the experiment alone, the rule opens them to everybody"},
	} {
		for _, file := range []string{other.file, strings.TrimPrefix(other.file, "etc/")} {
			if _, err := fs.Lstat(r.root, file); err == nil {
				r.note(place{file: file}, other.words)
				break
			}
		}
	}
}
