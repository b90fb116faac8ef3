// A policy that `proximax export` wrote, in C++ by onnxruntime. Reads observations from stdin, one per line, and prints
// the action of each; an empty line: the next observation opens an episode (which only policies with memory need).
//
//   g++ -std=c++17 -O2 policy.cpp -I$ORT/include -L$ORT/lib -lonnxruntime -Wl,-rpath,$ORT/lib -o policy
//   ./policy policy.onnx < observations.txt
//
// For observations that are one array of float32; a Box, Discrete, MultiDiscrete or MultiBinary action.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <exception>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

class Policy {
 public:
  explicit Policy(const char* path) : session_(env_, path, one_thread()) {
    Ort::AllocatorWithDefaultOptions allocator;
    for (size_t i = 0; i < session_.GetInputCount(); ++i) {
      Input input{session_.GetInputNameAllocated(i, allocator).get(),
                  session_.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape(), {}};
      input.shape[0] = 1;  // the batch
      size_t size = 1;
      for (int64_t n : input.shape) size *= n;
      input.values.resize(size);
      inputs_.push_back(input);
    }
  }

  void reset() { first_ = true; }  // the next observation opens an episode

  std::vector<double> act(const std::vector<float>& obs) {
    std::vector<const char*> in_names, out_names{"action"};
    std::vector<std::string> carry_names;
    std::vector<Ort::Value> tensors;
    for (Input& input : inputs_) {
      in_names.push_back(input.name.c_str());
      if (input.name == "first") {
        tensors.push_back(Ort::Value::CreateTensor<bool>(memory_, &first_, 1, input.shape.data(), input.shape.size()));
        continue;
      }
      if (input.name == "obs") {
        if (obs.size() != input.values.size()) throw std::runtime_error("an observation of another size");
        input.values = obs;
      } else if (input.name.rfind("carry_in.", 0) == 0) {
        carry_names.push_back("carry_out." + input.name.substr(9));
      } else {
        throw std::runtime_error("this example has no " + input.name);
      }
      tensors.push_back(Ort::Value::CreateTensor<float>(memory_, input.values.data(), input.values.size(),
                                                        input.shape.data(), input.shape.size()));
    }
    for (const std::string& name : carry_names) out_names.push_back(name.c_str());
    auto outputs = session_.Run(Ort::RunOptions{nullptr}, in_names.data(), tensors.data(), tensors.size(),
                                out_names.data(), out_names.size());
    size_t next = 1;  // the carries come after the action, in the order of the inputs
    for (Input& input : inputs_) {
      if (input.name.rfind("carry_in.", 0) != 0) continue;
      const float* carry = outputs[next++].GetTensorData<float>();
      input.values.assign(carry, carry + input.values.size());
    }
    first_ = false;
    auto about = outputs[0].GetTensorTypeAndShapeInfo();
    size_t size = about.GetElementCount();
    if (about.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
      const float* action = outputs[0].GetTensorData<float>();
      return {action, action + size};
    }
    const int32_t* action = outputs[0].GetTensorData<int32_t>();
    return {action, action + size};
  }

 private:
  struct Input {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> values;
  };

  static Ort::SessionOptions one_thread() {  // the fastest for small networks
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    return options;
  }

  Ort::Env env_;
  Ort::Session session_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<Input> inputs_;
  bool first_ = true;
};

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: policy policy.onnx < observations\n";
    return 2;
  }
  Policy policy(argv[1]);
  std::cout << std::setprecision(9);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream numbers(line);
    std::vector<float> obs;
    for (float x; numbers >> x;) obs.push_back(x);
    if (obs.empty()) {
      policy.reset();
      continue;
    }
    const char* space = "";
    for (double x : policy.act(obs)) {
      std::cout << space << x;
      space = " ";
    }
    std::cout << "\n";
  }
} catch (const std::exception& error) {
  std::cerr << "policy: " << error.what() << "\n";
  return 1;
}
