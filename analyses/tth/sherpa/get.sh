#!/bin/sh
# Get Sherpa 3 into FOLDER (its wheel from PyPI, 120 MB unpacked), and build `particles` there with its headers:
#
#     sh analyses/tth/sherpa/get.sh FOLDER
#     SHERPA=FOLDER hepda generate --config analyses/tth/generate.py --samples ttjets_fourth ttjets_fourth_b ttH_fourth
#
# Needs pip, unzip, readelf and g++. Sherpa is under the GPL, version 3: it runs beside hepda as a program.
set -eu
[ $# -eq 1 ] || { echo "usage: sh get.sh FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
folder=$PWD
if [ ! -x bin/Sherpa ]; then
  # The wheel is one for Python 3.12; only its binaries are used.
  "${PYTHON:-python3}" -m pip download --quiet --no-deps --only-binary :all: --python-version 3.12 sherpa-mc==3.0.3b2 -d wheel
  unzip -q -o wheel/sherpa_mc-*.whl
  rm -r wheel
  chmod +x bin/*
fi
libraries=$folder/lib64/SHERPA-MC
links=""
for name in $(readelf -d bin/Sherpa | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p') libToolsYaml.so.0.0.0; do
  [ -e "$libraries/$name" ] && links="$links -l:$name"
done
# shellcheck disable=SC2086
g++ -O2 -std=c++17 -w -I"$folder/include/SHERPA-MC" "$here/particles.cpp" -o particles.new -L"$libraries" \
  -Wl,-rpath,"$libraries" -Wl,--allow-shlib-undefined -Wl,--no-as-needed $links
mv particles.new particles
echo "$folder/particles is ready"
