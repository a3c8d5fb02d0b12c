// What both tools know of a model file. Reading goes on over the end of a file without a
// word, as the tools that this stands for do.
#pragma once
#include <cstdint>
#include <istream>
#include <string>
#include <vector>

struct Header {
    int32_t vocabulary = 0, width = 0, multiple = 0, heads = 0, layers = 0, type = 0;
};

struct Tensor {
    std::string name;
    int32_t type = 0;
    std::vector<int32_t> shape;
    std::vector<char> data;
    int32_t elements() const;
};

const char MAGIC[4] = {'l', 'm', 'g', 'g'};

bool read_magic(std::istream & in);
Header read_header(std::istream & in);
std::vector<std::string> read_words(std::istream & in, const Header & header);
// False at the end of the file.
bool read_tensor(std::istream & in, Tensor & tensor);
