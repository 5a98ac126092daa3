#!/usr/bin/env bash
# Installs what some tests need and Node does not bring, from Debian's packages: slapd and ldap-utils (a directory to log in with), pamtester
# (PAM), salt-pepper (a client of salt-api), cron (crontab), and programs that modules
# ask: ping, lsof, netstat, ss, ps; curl, with which the guides are tried. Not root, or no apt: says so and goes on; the tests of what is missing are skipped by name.
set -uo pipefail

packages=(slapd ldap-utils pamtester salt-pepper cron iputils-ping lsof net-tools iproute2 procps curl)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "tools.sh: cannot install ${missing[*]} (needs root and apt-get); the tests that need them are skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# Packages must not start daemons: the tests start their own.
policy=/usr/sbin/policy-rc.d
made=no
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=yes
fi
trap '[ "$made" = yes ] && rm -f "$policy"' EXIT
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
  echo "tools.sh: ${missing[*]} could not be installed; the tests that need them are skipped" >&2
exit 0
