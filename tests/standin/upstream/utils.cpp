#include "utils.h"

#include <cstring>

namespace {

template <typename T> T number(std::istream & in) {
    T value = 0;
    in.read(reinterpret_cast<char *>(&value), sizeof(value));
    return value;
}

size_t bytes(int32_t type, int32_t elements) {
    switch (type) {
        case 0: return 4 * (size_t) elements;
        case 1: return 2 * (size_t) elements;
        case 2: return 20 * (size_t) elements / 32;
        default: return 24 * (size_t) elements / 32;
    }
}

} // namespace

int32_t Tensor::elements() const {
    int32_t product = 1;
    for (int32_t size : shape) product *= size;
    return product;
}

bool read_magic(std::istream & in) {
    char found[4] = {};
    in.read(found, sizeof(found));
    return std::memcmp(found, MAGIC, sizeof(found)) == 0;
}

Header read_header(std::istream & in) {
    Header header;
    for (int32_t * field : {&header.vocabulary, &header.width, &header.multiple, &header.heads, &header.layers, &header.type}) {
        *field = number<int32_t>(in);
    }
    return header;
}

std::vector<std::string> read_words(std::istream & in, const Header & header) {
    std::vector<std::string> words;
    for (int32_t i = 0; i < header.vocabulary; ++i) {
        std::string word(number<uint32_t>(in), '\0');
        in.read(&word[0], word.size());
        words.push_back(word);
    }
    return words;
}

bool read_tensor(std::istream & in, Tensor & tensor) {
    const int32_t dimensions = number<int32_t>(in);
    const int32_t length = number<int32_t>(in);
    tensor.type = number<int32_t>(in);
    if (in.eof()) return false;
    tensor.shape.clear();
    for (int32_t i = 0; i < dimensions; ++i) tensor.shape.push_back(number<int32_t>(in));
    tensor.name.assign(length, '\0');
    in.read(&tensor.name[0], length);
    // What is not in the file stays what the tensor before it left here.
    tensor.data.resize(bytes(tensor.type, tensor.elements()));
    in.read(tensor.data.data(), tensor.data.size());
    return true;
}
