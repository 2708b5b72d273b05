# Makes /etc/brainjar/config.toml of config.toml.example: its tables of settings with
# nothing set but the directory of experiments, and no experiment at all.
function flush() {
	if (held != "") print held
	held = ""
}
BEGIN {
	print "# brainjar: the configuration of this machine."
	print "#"
	print "# Nothing is set yet but where experiments are: each is a file of its own,"
	print "# /etc/brainjar/experiments.d/ID.toml, with the keys of the experiment ID, such as"
	print "#"
	print "#     command = [\"/opt/lab/venv/bin/python3\", \"-m\", \"runner\", \"--config\", \"{id}.json\"]"
	print "#     working_directory = \"/opt/lab\""
	print "#     memory_max = \"8G\""
	print "#"
	print "# After a change:  sudo brainjar check /etc/brainjar/config.toml"
	print "#                  brainjar plan           says what the change would do"
	print "#                  sudo brainjar reload    does it"
	print "#"
	print "# A line that begins with \"#\" and a key shows a setting of a lab's machine. All keys"
	print "# and their defaults: /usr/share/doc/brainjar/configuration.md. A whole lab with its"
	print "# experiments: /usr/share/doc/brainjar/examples/config.toml.example."
	print ""
}
/^# -+$/ && !begun { begun = 1 }
!begun { next }
/^# The experiments$/ { exit }
/^# -+$/ { flush(); held = $0; next }
{ flush() }
/^#/ || /^$/ || /^\[/ || /^include / { print; next }
{ print "#" $0 }
