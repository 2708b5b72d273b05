package transient

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
)

// scopePlan works out what systemd would set up for a service: user, groups,
// environment. Users and groups are those of /etc/passwd and /etc/group.
func (m *Manager) scopePlan(spec Spec) (scopePlan, error) {
	if len(spec.EnvironmentFiles) > 0 {
		return scopePlan{}, errors.New("a scope takes no environment_files: it needs a service")
	}
	m.mu.Lock()
	host := m.host
	m.mu.Unlock()
	plan := scopePlan{
		Command: spec.Command, Directory: spec.WorkingDirectory, OpenFiles: spec.OpenFiles,
		Connected: spec.Streams != nil || spec.LogFile != "", Identifier: Prefix + spec.Experiment, Unit: spec.Unit(),
		OpenFilesImplied: slices.Contains(spec.Limits.Implied, limitOpenFiles),
	}
	base := []string{"PATH=" + defaultPath}
	account, err := plan.account(spec, host)
	if err != nil {
		return scopePlan{}, err
	}
	if account != nil {
		base = append(base, "USER="+account.Username, "LOGNAME="+account.Username, "HOME="+account.HomeDir)
	}
	if plan.Directory == "" {
		plan.Directory = "/"
	}
	var list propertyList
	addEnvironment(&list, spec, host)
	for _, p := range list {
		if environment, ok := p.Value.Value().([]string); ok && p.Name == "Environment" {
			base = append(base, environment...)
		}
	}
	plan.Environment = base
	return plan, nil
}

// account fills in whom the program runs as. A user's service manager runs
// everything as that user.
func (p *scopePlan) account(spec Spec, host Host) (*user.User, error) {
	if host.User {
		return user.Current()
	}
	if spec.User == "" {
		return nil, errors.New("cannot run a scope as root because no user was named: name one")
	}
	account, err := user.Lookup(spec.User)
	if err != nil {
		if account, err = user.LookupId(spec.User); err != nil {
			return nil, fmt.Errorf("cannot find user %s: %w", spec.User, err)
		}
	}
	p.Switch = true
	if p.UID, err = strconv.Atoi(account.Uid); err != nil {
		return nil, fmt.Errorf("cannot find user %s: %w", spec.User, err)
	}
	if p.GID, err = groupID(account.Gid); err != nil {
		return nil, err
	}
	if spec.Group != "" {
		if p.GID, err = groupID(spec.Group); err != nil {
			return nil, err
		}
	}
	groups, err := account.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("cannot find the groups of %s: %w", spec.User, err)
	}
	for _, name := range append(groups, spec.SupplementaryGroups...) {
		id, err := groupID(name)
		if err != nil {
			return nil, err
		}
		p.Groups = append(p.Groups, id)
	}
	return account, nil
}

// groupID finds a group by name or number.
func groupID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("cannot find group %s: %w", name, err)
	}
	return strconv.Atoi(group.Gid)
}
