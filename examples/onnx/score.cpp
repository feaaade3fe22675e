// The score of one event by an exported model, with the C++ interface of onnxruntime.
//
//     g++ -std=c++17 score.cpp -I$ONNXRUNTIME/include -L$ONNXRUNTIME/lib -lonnxruntime -Wl,-rpath,$ONNXRUNTIME/lib -o score
//     ./score MODEL.onnx score n_jets=6 ht=512.5 ... run=1 event=42
//
// Inputs are named by feature; one that is not given is missing (NaN). Numbers that identify an event are int64. In the
// event loop of a framework, make the session once and give it arrays of many events.
#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: score MODEL.onnx OUTPUT NAME=VALUE ...\n";
    return 2;
  }
  std::map<std::string, std::string> given;
  for (int i = 3; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto at = argument.find('=');
    given[argument.substr(0, at)] = argument.substr(at + 1);
  }

  Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "hepda");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(environment, argv[1], options);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

  const std::size_t count = session.GetInputCount();
  std::vector<std::string> names;
  std::vector<float> features(count);
  std::vector<std::int64_t> keys(count);
  std::vector<Ort::Value> values;
  const std::int64_t shape[] = {1};  // one event
  for (std::size_t i = 0; i < count; ++i) {
    names.emplace_back(session.GetInputNameAllocated(i, allocator).get());
    const auto found = given.find(names[i]);
    const auto info = session.GetInputTypeInfo(i);
    if (info.GetTensorTypeAndShapeInfo().GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64) {
      keys[i] = found == given.end() ? 0 : std::stoll(found->second);
      values.push_back(Ort::Value::CreateTensor<std::int64_t>(memory, &keys[i], 1, shape, 1));
    } else {
      features[i] = found == given.end() ? std::numeric_limits<float>::quiet_NaN() : std::stof(found->second);
      values.push_back(Ort::Value::CreateTensor<float>(memory, &features[i], 1, shape, 1));
    }
  }
  std::vector<const char*> inputs;
  for (const auto& name : names) inputs.push_back(name.c_str());
  const char* outputs[] = {argv[2]};
  auto result = session.Run(Ort::RunOptions{nullptr}, inputs.data(), values.data(), count, outputs, 1);
  std::cout << result[0].GetTensorData<float>()[0] << "\n";
}
