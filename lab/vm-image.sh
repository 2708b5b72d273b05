# shellcheck shell=bash
# vm-image.sh: the cached Debian images of lab/vm, and its scratch directories.
# Sourced by lab/vm, which provides fail.
#
# The cache holds one directory for each image, [arm64-]SUITE-KEY; the key is a digest of
# vm-build, so that a change there builds anew. It appears by one rename, complete.
# Every run holds a shared lock on it; an image of another key is removed as soon
# as nobody holds it.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cache=$(realpath -m "${BRAINJAR_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/brainjar-lab}")
scratch='' machine='' builder=''

# need_tools EMULATOR: end unless this machine has the programs that lab/vm runs.
need_tools() {
	local tool missing=()
	[[ $(uname -m) == x86_64 ]] || fail 69 "this recipe is for x86-64, this machine is $(uname -m)"
	for tool in "$1" qemu-img mmdebstrap mke2fs tar flock setpriv unshare; do
		type -P "$tool" >/dev/null || missing+=("$tool")
	done
	((${#missing[@]} == 0)) || fail 69 "not installed here: ${missing[*]}; lab/install-vm installs them"
}

# open_scratch: make a directory of this run's own, removed at exit. A run holds a
# lock on its directory: the unlocked ones were left by runs that were killed.
open_scratch() {
	local entry guard held
	mkdir -p "$cache/run"
	exec {guard}>"$cache/run.lock"
	flock -w 60 "$guard" || fail 70 "cannot lock $cache/run.lock within a minute"
	for entry in "$cache"/run/*/; do
		[[ -d $entry ]] || continue
		exec {held}<"$entry"
		! flock -n "$held" || rm -rf "$entry"
		exec {held}<&-
	done
	trap close_scratch EXIT
	scratch=$(mktemp -d "$cache/run/XXXXXX")
	exec {scratch_lock}<"$scratch"
	flock "$scratch_lock"
	exec {guard}>&-
}

close_scratch() {
	stop_machine
	stop_builder
	[[ -z $scratch ]] || rm -rf "$scratch"
}

# stop_machine: pull the plug, if it is still in.
stop_machine() {
	[[ -n $machine ]] || return 0
	kill -KILL "$machine" 2>/dev/null || true
	wait "$machine" 2>/dev/null || true
	machine=''
}

stop_builder() {
	[[ -n $builder ]] || return 0
	kill -KILL "$builder" 2>/dev/null || true
	wait "$builder" 2>/dev/null || true
	builder=''
}

image_dir() {
	printf '%s/%s-%s\n' "$cache" "$1" "$(sha256sum <"$here/vm-build" | cut -c1-16)"
}

# hold_image SUITE: make sure that the image is there and stays during this run.
hold_image() {
	local dir guard held old kernel_dir=()
	# Debian 11 has lost its own kernel packages: it runs on the kernel of Debian 12.
	if [[ $1 == *bullseye ]]; then
		hold_image "${1/bullseye/bookworm}"
		kernel_dir=("$(image_dir "${1/bullseye/bookworm}")")
	fi
	dir=$(image_dir "$1")
	exec {guard}>"$cache/$1.lock"
	# Waits in the background, so that a signal ends this script at once.
	flock -w 1200 "$guard" &
	wait $! || fail 70 "another run has been building the image of $1 for 20 minutes"
	[[ -d $dir ]] || build_image "$1" "$dir" ${kernel_dir[@]+"${kernel_dir[@]}"}
	exec {image_lock}<"$dir"
	flock -s "$image_lock"
	for old in "$cache/$1"-*/; do
		[[ $old != "$dir/" ]] || continue
		exec {held}<"$old"
		! flock -n "$held" || rm -rf "$old"
		exec {held}<&-
	done
	exec {guard}>&-
}

# build_image SUITE DIR [KERNELDIR]: all that the build starts lives in a process
# and mount namespace that dies with it: nothing is left, whatever happens.
build_image() {
	((EUID == 0)) || fail 69 "building the image of $1 needs root (using it does not)"
	printf 'lab/vm: building the image of %s, once; it takes a minute, and for arm64 many\n' "$1" >&2
	mkdir "$scratch/image"
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
		timeout 3000 "$here/vm-build" "$1" "$scratch/image" "${@:3}" >"$scratch/build.log" 2>&1 &
	builder=$!
	wait "$builder" || {
		tail -n 20 "$scratch/build.log" >&2
		fail 70 "cannot build the image of $1"
	}
	builder=''
	mv -T "$scratch/image" "$2"
}
