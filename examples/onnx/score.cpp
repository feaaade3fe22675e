// The score of one event by an exported model, with the C++ interface of onnxruntime.
//
//     g++ -std=c++17 score.cpp -I$ONNXRUNTIME/include -L$ONNXRUNTIME/lib -lonnxruntime -Wl,-rpath,$ONNXRUNTIME/lib -o score
//     ./score MODEL.onnx score n_jets=6 ht=512.5 ... run=1 event=42
//
// Inputs are named by feature; one that is not given is missing (NaN). Numbers that identify an event are int64, and
// have to be given. In the event loop of a framework, make the session once and give it arrays of many events.
#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <exception>
#include <iostream>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using Values = std::map<std::string, std::string>;

float score(const char* model, const char* output, Values given) {
  Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "hepda");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(environment, model, options);
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
    const auto info = session.GetInputTypeInfo(i);
    const auto tensor = info.GetTensorTypeAndShapeInfo();
    if (tensor.GetDimensionsCount() != 1)
      throw std::runtime_error(names[i] + " is a set of objects, which this example does not fill");
    const auto found = given.find(names[i]);
    const bool is_given = found != given.end();
    if (tensor.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64) {
      if (!is_given) throw std::runtime_error(names[i] + " identifies the event and is not given");
      keys[i] = std::stoll(found->second);
      values.push_back(Ort::Value::CreateTensor<std::int64_t>(memory, &keys[i], 1, shape, 1));
    } else {
      features[i] = is_given ? std::stof(found->second) : std::numeric_limits<float>::quiet_NaN();
      values.push_back(Ort::Value::CreateTensor<float>(memory, &features[i], 1, shape, 1));
    }
    if (is_given) given.erase(found);
  }
  if (!given.empty()) throw std::runtime_error(given.begin()->first + " is no input of the model");
  std::vector<const char*> inputs;
  for (const auto& name : names) inputs.push_back(name.c_str());
  const char* outputs[] = {output};
  auto result = session.Run(Ort::RunOptions{nullptr}, inputs.data(), values.data(), count, outputs, 1);
  return result[0].GetTensorData<float>()[0];
}

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: score MODEL.onnx OUTPUT NAME=VALUE ...\n";
    return 2;
  }
  Values given;
  for (int i = 3; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto at = argument.find('=');
    given[argument.substr(0, at)] = at == std::string::npos ? "" : argument.substr(at + 1);
  }
  try {
    std::cout.precision(9);  // all digits of a float
    std::cout << score(argv[1], argv[2], given) << "\n";
  } catch (const std::exception& error) {
    std::cerr << "score: " << error.what() << "\n";
    return 2;
  }
}
